package main

import (
	"net/http"
	"os"

	"example.org/greet"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(greet.Text())) })
	http.ListenAndServe(":"+os.Getenv("PORT"), nil)
}
