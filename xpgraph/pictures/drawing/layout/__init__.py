"""Where everything in a picture stands, as Graphviz's dot does it: ``place`` runs the steps in order.

``ranks`` chooses the column of each vertex, ``order`` the order within each column, ``heights`` the y, ``place`` itself
the x. Only plain numbers: nothing here knows graphs or arrays.
"""
