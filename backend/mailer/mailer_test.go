package mailer_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-tenancy/caddy-tenancy/backend/control"
	"github.com/caddy-tenancy/caddy-tenancy/backend/mailer"
)

var welcome = control.Mail{ID: "m1", To: "ada@example.com", Subject: "Welcome", Body: "Hello\n.\nEnd", Created: time.Unix(1e9, 0)}

// mailServer speaks enough SMTP to take mail (RFC 5321). The first refuse
// mails are turned away.
type mailServer struct {
	l net.Listener

	mu     sync.Mutex
	refuse int
	mails  []string
}

func startMailServer(t *testing.T, refuse int) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &mailServer{l: l, refuse: refuse}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.talk(c)
		}
	}()
	return s
}

func (s *mailServer) talk(c net.Conn) {
	defer func() { _ = c.Close() }()
	in := bufio.NewScanner(c)
	say := func(line string) { _, _ = fmt.Fprint(c, line+"\r\n") }
	say("220 ready")
	for in.Scan() {
		switch verb, _, _ := strings.Cut(strings.ToUpper(in.Text()), " "); verb {
		case "EHLO", "HELO":
			say("250 hello")
		case "MAIL":
			s.mu.Lock()
			turnedAway := s.refuse > 0
			s.refuse--
			s.mu.Unlock()
			if turnedAway {
				say("451 come back later")
			} else {
				say("250 fine")
			}
		case "DATA":
			say("354 go on")
			var text strings.Builder
			for in.Scan() && in.Text() != "." {
				text.WriteString(in.Text() + "\n")
			}
			s.mu.Lock()
			s.mails = append(s.mails, text.String())
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 fine")
		}
	}
}

func TestMailReachesTheServer(t *testing.T) {
	s := startMailServer(t, 1)
	sender, err := mailer.SMTP("smtp://"+s.l.Addr().String()+"?tls=none", "shop@pets.example", "pets.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(t.Context(), welcome); err == nil {
		t.Error("a mail that was turned away counts as sent")
	}
	if err := sender.Send(t.Context(), welcome); err != nil {
		t.Fatal(err)
	}
	if len(s.mails) != 1 {
		t.Fatalf("got %d mails", len(s.mails))
	}
	for _, part := range []string{"From: <shop@pets.example>", "To: <ada@example.com>", "Subject: Welcome", "Message-ID: <m1@pets.example>", "Hello", "End"} {
		if !strings.Contains(s.mails[0], part) {
			t.Errorf("the mail lacks %q: %s", part, s.mails[0])
		}
	}
}

func TestServerWithoutEncryptionIsNotTrustedUnlessSaidSo(t *testing.T) {
	s := startMailServer(t, 0)
	sender, err := mailer.SMTP("smtp://"+s.l.Addr().String(), "shop@pets.example", "pets.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(t.Context(), welcome); err == nil || len(s.mails) != 0 {
		t.Errorf("got error %v and %d mails, expected that nothing is sent in the clear", err, len(s.mails))
	}
}

func TestAddressOfAServerIsCheckedWithoutShowingThePassword(t *testing.T) {
	for _, url := range []string{"", "mail.example", "http://u:secret@mail.example", "smtp://u:secret@mail.example?tls=maybe", "smtp://u:secret@:x", "smtp://u:secret@mail.example:99999"} {
		_, err := mailer.SMTP(url, "a@b.example", "b.example")
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got error %v", url, err)
		}
	}
}

func TestMailThatComesTwiceIsOneFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "outbox")
	f := mailer.Folder{Path: dir, From: "shop@pets.example", Domain: "pets.example"}
	for range 2 {
		if err := f.Send(t.Context(), welcome); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != "m1.eml" {
		t.Fatalf("got files %v, %v", files, err)
	}
	info, err := files[0].Info()
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, expected mode 0600: the mail holds a token", info, err)
	}
}
