"""From the published weights, or from drawn phantoms, to bundles. Importing it imports nothing."""
