"""How the models that ship with the table-top renderer are made: `python -m` writes them."""
