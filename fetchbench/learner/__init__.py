"""HER + SAC with a declared gradient routing. Fixed: what varies comes in as plugin components."""
