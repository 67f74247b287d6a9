"""The nodes of the state machine, one file each. Each looks up before it acts, so that running it again is safe."""
