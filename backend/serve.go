package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/controlapi"
	"github.com/caddy-tenancy/caddy-tenancy/backend/httpapi"
	"github.com/caddy-tenancy/caddy-tenancy/backend/issuer"
	"github.com/caddy-tenancy/caddy-tenancy/backend/mailer"
	"github.com/caddy-tenancy/caddy-tenancy/backend/resolver"
	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/identity"
)

// serveConfig is the configuration of "petstore serve".
type serveConfig struct {
	dataConfig
	listen   string
	jwks     string
	audience string
	issuer   string
	demo     bool
	logLevel slog.Level
	smtpURL  string
	mailFrom string
	resolver string
}

func (c *serveConfig) register(f *flags) {
	c.dataConfig.register(f)
	f.StringVar(&c.listen, "listen", "127.0.0.1:9000", "address to listen on")
	f.StringVar(&c.jwks, "identity-jwks", "", "file of the gateway's public keys; empty means identity.jwks.json in the data folder")
	f.StringVar(&c.audience, "identity-audience", "petstore", "audience that a signed identity must name")
	f.StringVar(&c.issuer, "identity-issuer", "caddy-tenancy", "issuer that a signed identity must name")
	f.BoolVar(&c.demo, "demo", false, "add three demo tenants, the first time only")
	f.StringVar(&c.smtpURL, "smtp-url", "", "mail server, such as smtp://user:password@host:587 (also as SMTP_URL); empty writes mail into data/outbox")
	f.StringVar(&c.mailFrom, "mail-from", "", "sender of mail; empty means petstore@ the base domain")
	f.StringVar(&c.resolver, "dns-resolver", "", "address of the DNS resolver that proofs of tenants' own domains are looked up at; empty means the system's")
	f.IntVar(&c.auditKeep, "audit-records", control.DefaultAccessKeep, "how many records of attempts to cross between tenants are kept")
	f.DurationVar(&c.auditAge, "audit-age", control.DefaultAccessAge, "for how long they are kept")
	f.TextVar(&c.logLevel, "log-level", slog.LevelInfo, "least level to log: DEBUG, INFO, WARN or ERROR")
}

// Server timeouts: a client that stalls is cut off.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	drainTimeout  = 10 * time.Second
)

// serve answers requests until ctx ends, then lets the ones that have begun
// finish.
func serve(ctx context.Context, env environment, args []string) (err error) {
	var c serveConfig
	f := newFlags(env, "serve", "serve [flags]")
	c.register(f)
	if _, err := f.parse(args); err != nil {
		return ignoreHelp(err)
	}
	if _, _, err := c.check(); err != nil {
		return err
	}
	if _, _, err := c.rules(); err != nil {
		return err
	}
	if c.auditKeep < 1 || c.auditAge < time.Second {
		return usageError{errors.New("reading --audit-records and --audit-age: expected at least 1 and 1s")}
	}
	log := slog.New(slog.NewJSONHandler(env.stderr, &slog.HandlerOptions{Level: c.logLevel}))
	c.log = log
	if c.smtpURL == "" {
		c.smtpURL = env.getenv("SMTP_URL")
	}
	sender, err := c.sender()
	if err != nil {
		return err
	}
	dns, err := resolver.New(strings.Fields(c.resolver)...)
	if err != nil {
		return usageError{err}
	}
	// The port first: a second server must not touch the first one's data.
	listener, err := listen(ctx, c.listen)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }() // closed by Shutdown in the usual case
	b, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	hosts := &control.HostChecker{Catalog: b.catalog, Resolver: dns}
	handler, err := c.handler(ctx, b, hosts, log)
	if err != nil {
		return err
	}
	background, stop := context.WithCancel(ctx)
	defer stop()
	var work sync.WaitGroup
	work.Go(func() { b.directory.Run(background, refreshEvery, log) })
	work.Go(func() { b.catalog.RunJobs(background, sender, log) })
	work.Go(func() { hosts.Run(background, log) })
	err = c.answer(ctx, listener, handler, log)
	stop()
	work.Wait()
	return err
}

// handler builds the API over the opened data.
func (c *serveConfig) handler(ctx context.Context, b *backend, hosts *control.HostChecker, log *slog.Logger) (http.Handler, error) {
	token, err := adminToken(filepath.Join(c.dir, "admin.token"))
	if err != nil {
		return nil, err
	}
	cursorKey, err := b.catalog.CursorKey(ctx)
	if err != nil {
		return nil, err
	}
	if c.demo {
		if err := addDemo(ctx, b, log); err != nil {
			return nil, fmt.Errorf("adding the demo tenants: %w", err)
		}
	}
	if c.jwks == "" {
		c.jwks = filepath.Join(c.dir, "identity.jwks.json")
	}
	verifier := identity.NewVerifier(identity.VerifierOptions{
		Keys: identity.FileKeys(c.jwks), Audience: c.audience, Issuer: c.issuer,
	})
	tokens, err := issuer.Open(c.dir)
	if err != nil {
		return nil, err
	}
	api := httpapi.New(httpapi.Options{
		Store: b.store, Tenants: b.directory, Verifier: verifier, CursorKey: cursorKey, JWKS: tokens.JWKS(), Ready: b.catalog.Ping, Log: log,
	})
	controlapi.Add(api, controlapi.Options{Catalog: b.catalog, Directory: b.directory, Hosts: hosts, AdminToken: token, SiteURL: c.siteURL})
	return api, nil
}

// sender is where mail goes.
func (c *serveConfig) sender() (control.Sender, error) {
	from := c.mailFrom
	if from == "" {
		from = "petstore@" + c.baseDomain
	}
	if c.smtpURL == "" {
		return mailer.Folder{Path: filepath.Join(c.dir, "outbox"), From: from, Domain: c.baseDomain}, nil
	}
	sender, err := mailer.SMTP(c.smtpURL, from, c.baseDomain)
	if err != nil {
		return nil, usageError{err}
	}
	return sender, nil
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listening on %q: the port is in use by another program; choose another with --listen", address)
	case err != nil:
		return nil, fmt.Errorf("listening on %q: %w", address, err)
	}
	return l, nil
}

func (c *serveConfig) answer(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	log.Info("serving", "address", l.Addr().String(), "version", version, "data", c.dir)
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	log.Info("stopping: requests that have begun may finish", "at_most", drainTimeout.String())
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return errors.Join(fmt.Errorf("stopping: %w", err), server.Close())
	}
	return nil
}
