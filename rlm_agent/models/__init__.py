"""Chat models: the one place where any is made or asked, and what is done when it does not answer."""
