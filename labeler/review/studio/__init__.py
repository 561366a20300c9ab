"""Label Studio: the review page, the server, and tasks and reviews on their way there and back."""
