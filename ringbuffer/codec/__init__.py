"""Objects to frames and back: ``frames`` and parts, ``message`` bodies, ``tensors`` in them, ``views`` of a block."""
