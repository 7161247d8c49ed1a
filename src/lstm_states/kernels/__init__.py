"""The equations of recurrent cells in one place: a plain scan and a fast kernel."""
