"""Check whether recorded values obey the equations, and say why not."""
