module workload

go 1.23

require github.com/spiffe/go-spiffe/v2 v2.6.0
