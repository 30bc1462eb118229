"""What every queue engine must do, checked against each engine."""
