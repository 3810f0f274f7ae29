# %% [markdown]
# # Handwritten digits
#
# `python mnist.py --data-dir DIR` reads the four IDX files of MNIST, gzip or not, from a folder. Without it, the script
# takes the files that `xpgraph train --data mnist` has downloaded before. Where there are none, it says so and ends. It
# trains on the first 12,000 of the 60,000 rows, for a few seconds; all of them give a better result.

# %%
import argparse

from xpgraph import Adam, Report, Trainer, datasets, mlp
from xpgraph.datasets import idx

ROWS, EPOCHS = 12_000, 2

parser = argparse.ArgumentParser(description="Train a network on MNIST.")
parser.add_argument("--data-dir", help="a folder with the four IDX files")
data_dir = parser.parse_known_args()[0].data_dir  # a notebook has arguments of its own

data = datasets.load("mnist", data_dir=data_dir) if data_dir or idx.cached("mnist") else None
if data is None:
    print("MNIST is not here: give --data-dir DIR, or download it once: xpgraph train --data mnist --epochs 1")

# %% [markdown]
# 784 pixels, 50 hidden units, 10 classes.

# %%
if data is not None:
    model = mlp([784, 50, 10], "relu", seed=0)
    trainer = Trainer(model, Adam(lr=0.002), seed=0)
    trainer.fit(
        data.x[:ROWS],
        data.t[:ROWS],
        max_epoch=EPOCHS,
        batch_size=100,
        validation=(data.x_test, data.t_test),
        report=Report(),
        on_epoch=lambda trainer, record: print(f"epoch {record['epoch']}: accuracy {record['val_accuracy']:.4f}"),
    )
