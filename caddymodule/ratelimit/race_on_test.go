//go:build race

package ratelimit

// raceEnabled shortens what has no concurrency in it: the simulator.
const raceEnabled = true
