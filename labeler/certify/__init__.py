"""Making a certificate: freeze a ranking, audit a random sample of it blind, test, release what passed."""
