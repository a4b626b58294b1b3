"""The platform that `nbwater simulate chaos` torments: `nbwater up` in a directory of its own, and means to harm it."""
