"""The patch family: learners, their encoder, and the steps before them."""
