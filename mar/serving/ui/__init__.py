"""The page at /ui: people see what was decided and why, what it costs, and change what their key lets them.

`frame` lets people in and gives each view its routes, `lobby` knows who they are, `paper` writes HTML; beside these
there is one module for each view.
"""
