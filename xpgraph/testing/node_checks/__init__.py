"""``check_node``: is a node right? The node may be of any class; it is copied, and the copies are run.

``checks.py`` has ``check_node`` and the table of checks: add a check there. It checks the gradients, very large inputs
and inputs with more axes; ``contract.py`` checks what a node may do with arrays; ``subject.py`` makes copies and
inputs. The gradient check itself is that of ``xpgraph.graph``. From the rest of ``testing/``, only ``findings.py`` and
``tape.py`` may be imported here.
"""
