"""Districts: water balance, night flow, and bursts on mains, from inlet, outlet and customers' meters."""
