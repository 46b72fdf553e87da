package control

import (
	"context"
	"log/slog"
	"time"
)

// Background work: what a crash left undone, and what becomes due.

// resumeAge keeps the background from getting in the way of a request that is
// setting a tenant up at this moment.
const resumeAge = 10 * time.Second

// RunJobs finishes what was cut off before, and then, until ctx ends, sends
// mail, finishes tenants and moves, purges what is due and trims the records of
// access. A failure is logged and tried again.
func (c *Catalog) RunJobs(ctx context.Context, mail Sender, log *slog.Logger) {
	report := func(what string, n int, err error) {
		switch {
		case err != nil && ctx.Err() == nil:
			log.Error("background work failed", "work", what, "error", err.Error())
		case n > 0:
			log.Info("background work done", "work", what, "count", n)
		}
	}
	all := func(age time.Duration) {
		n, err := c.ResumeMoves(ctx)
		report("finish moves", n, err)
		n, err = c.Resume(ctx, age)
		report("set tenants up", n, err)
		n, err = c.PurgeDue(ctx)
		report("purge tenants", n, err)
		n, err = c.TrimAccess(ctx)
		report("trim access records", n, err)
	}
	all(0)
	often, seldom := time.NewTicker(time.Second), time.NewTicker(30*time.Second)
	defer often.Stop()
	defer seldom.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-often.C:
			n, err := c.Deliver(ctx, mail)
			report("send mail", n, err)
		case <-seldom.C:
			all(resumeAge)
		}
	}
}

// repeat does work at every interval until ctx ends. A failure is logged once,
// until the work succeeds.
func repeat(ctx context.Context, interval time.Duration, log *slog.Logger, what string, work func(context.Context) error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := work(ctx)
		switch {
		case err != nil && !failing && ctx.Err() == nil:
			log.Error("background work failed", "work", what, "error", err.Error())
		case err == nil && failing:
			log.Info("background work succeeds again", "work", what)
		}
		failing = err != nil
	}
}
