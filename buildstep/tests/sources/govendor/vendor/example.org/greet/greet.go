package greet

func Text() string { return "it works\n" }
