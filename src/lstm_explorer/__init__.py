"""Look at the states of recurrent layers: one HTML page that opens anywhere, without a network.

It takes what ``lstm_states.record_traces`` returned or stored. The page itself is written in
TypeScript, in ``src/explorer``; ``page.js`` and ``page.css`` are built from it, and Python users
need no Node.
"""

from lstm_explorer.page import Explorer, explore, write_explorer

__all__ = ["Explorer", "explore", "write_explorer"]
