"""The subcommands of `nbwater`, one file for each; imported only when they are called."""
