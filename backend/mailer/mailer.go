// Package mailer sends the control plane's mail: over SMTP, or as files into
// a folder where no server is set.
package mailer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
)

// sendTimeout bounds one mail.
const sendTimeout = 30 * time.Second

// message builds the mail. Its Message-ID comes from the mail's own ID, so that
// one that is sent twice after a crash can be recognised (RFC 5322, 3.6.4).
func message(m control.Mail, from, domain string) (*mail.Msg, error) {
	msg := mail.NewMsg()
	if err := msg.From(from); err != nil {
		return nil, fmt.Errorf("reading the sender %q: %w", from, err)
	}
	if err := msg.To(m.To); err != nil {
		return nil, fmt.Errorf("reading the recipient: %w", err)
	}
	msg.Subject(m.Subject)
	msg.SetMessageIDWithValue(m.ID + "@" + domain)
	msg.SetDateWithValue(m.Created)
	msg.SetBodyString(mail.TypeTextPlain, m.Body)
	return msg, nil
}

// Folder writes each mail as a file NAME.eml of mode 0600. The mail's ID is
// its name: one that comes again after a crash replaces itself.
type Folder struct{ Path, From, Domain string }

// Send implements [control.Sender].
func (f Folder) Send(_ context.Context, m control.Mail) error {
	msg, err := message(m, f.From, f.Domain)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.Path, 0o700); err != nil {
		return fmt.Errorf("making the outbox folder: %w", err)
	}
	tmp, err := os.CreateTemp(f.Path, ".new-*")
	if err != nil {
		return fmt.Errorf("writing mail: %w", err)
	}
	_, err = msg.WriteTo(tmp)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(f.Path, m.ID+".eml"))
	}
	if err != nil {
		if removeErr := os.Remove(tmp.Name()); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
		return fmt.Errorf("writing mail: %w", err)
	}
	return nil
}

// smtp sends over one server.
type smtp struct {
	client       *mail.Client
	from, domain string
}

// SMTP reads a URL such as "smtp://user:password@mail.example.com:587" or
// "smtps://...". With smtp, STARTTLS is required unless "?tls=none" says that
// the server is one's own relay. It does not connect. An error never shows the
// password.
func SMTP(rawURL, from, domain string) (control.Sender, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" || u.Scheme != "smtp" && u.Scheme != "smtps" {
		return nil, errors.New("reading the SMTP URL: expected smtp://user:password@host:port or smtps://user:password@host:port")
	}
	options := []mail.Option{mail.WithTimeout(sendTimeout)}
	if u.Port() != "" {
		port, err := strconv.Atoi(u.Port())
		if err != nil {
			return nil, fmt.Errorf("reading the SMTP URL: port %q: %w", u.Port(), err)
		}
		options = append(options, mail.WithPort(port))
	}
	switch tls := u.Query().Get("tls"); {
	case u.Scheme == "smtps":
		options = append(options, mail.WithSSL())
	case tls == "none":
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	case tls == "":
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	default:
		return nil, fmt.Errorf("reading the SMTP URL: tls=%q: expected none, or nothing for STARTTLS", tls)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(u.User.Username()), mail.WithPassword(password))
	}
	client, err := mail.NewClient(u.Hostname(), options...)
	if err != nil {
		return nil, fmt.Errorf("preparing SMTP to %q: %w", u.Host, err)
	}
	return &smtp{client, from, domain}, nil
}

// Send implements [control.Sender].
func (s *smtp) Send(ctx context.Context, m control.Mail) error {
	msg, err := message(m, s.from, s.domain)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return s.client.DialAndSendWithContext(ctx, msg)
}

var (
	_ control.Sender = Folder{}
	_ control.Sender = (*smtp)(nil)
)
