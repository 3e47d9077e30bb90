"""What one's own traffic teaches: logged requests, what is known of their worth, estimates of other policies' worth."""
