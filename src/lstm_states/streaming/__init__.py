"""Steps that come one by one: live states, kept from call to call."""
