"""The routes, by groups: each turns the wire model into a call of the service and back."""
