module example.org/shop/v2

go 1.21

require example.org/greet v1.0.0
