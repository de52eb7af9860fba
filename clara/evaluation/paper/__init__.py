"""The paper's tables and claims beside ours: specifications are data under `paper/`, this reads and fills them."""
