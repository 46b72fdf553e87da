//go:build race

package redis

// raceEnabled shortens what has no concurrency in it: the simulator.
const raceEnabled = true
