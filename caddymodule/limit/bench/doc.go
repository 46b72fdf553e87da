// Package bench compares the limiter with others in the same run. It is a
// module of its own so that they are no dependencies of the gateway:
//
//	cd caddymodule/limit/bench && go test -bench . -benchtime 2s
package bench
