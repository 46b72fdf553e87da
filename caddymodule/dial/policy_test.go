package dial

import (
	"errors"
	"net"
	"strings"
	"testing"
)

func TestWhatRecordsMayName(t *testing.T) {
	for _, test := range []struct {
		allow, address string
		want           error
	}{
		{"", "192.0.2.7:80", nil}, {"", "10.0.0.7:80", nil}, {"", "[2001:db8::7]:80", nil}, {"", "[fd12::1]:80", nil}, {"", "silo.example:80", nil},
		{"", "127.0.0.1:80", errThisHost}, {"", "127.9.9.9:80", errThisHost}, {"", "[::1]:80", errThisHost}, {"", "0.0.0.0:80", errThisHost},
		{"", "0.1.2.3:80", errThisHost}, {"", "[::]:80", errThisHost}, {"", "169.254.169.254:80", errThisHost}, {"", "[fe80::1]:80", errThisHost},
		{"", "[fd00:ec2::254]:80", errThisHost}, {"", "100.100.100.200:80", errThisHost}, {"", "192.0.0.192:80", errThisHost},
		{"", "224.0.0.1:80", errThisHost}, {"", "[ff02::1]:80", errThisHost}, {"", "255.255.255.255:80", errThisHost},
		{"", "[64:ff9b::7f00:1]:80", errThisHost}, {"", "[2002:7f00:1::]:80", errThisHost}, {"", "[::7f00:1]:80", errThisHost},
		{"", "localhost:80", errThisHost}, {"", "a.localhost:80", errThisHost}, {"", "metadata.google.internal:80", errThisHost},
		{"", "LOCALHOST:80", errThisHost}, {"", "localhost.:80", errThisHost}, {"", "a.Localhost.:80", errThisHost}, {"", "metadata.google.internal.:80", errThisHost},
		{"", "[::ffff:127.0.0.1]:80", errThisHost}, {"", "[::ffff:169.254.169.254]:80", errThisHost}, {"", "[::ffff:100.100.100.200]:80", errThisHost},
		{"", "[::ffff:0.1.2.3]:80", errThisHost}, {"", "[fe80::1%eth0]:80", errThisHost}, {"", "[fd00:ec2::254%eth0]:80", errThisHost}, {"", "[::ffff:192.0.2.7]:80", nil},
		{"127.0.0.1", "127.0.0.1:80", nil}, {"127.0.0.1", "127.0.0.2:80", errNotListed}, {"127.0.0.1", "192.0.2.7:80", errNotListed},
		{"127.0.0.1", "[::ffff:127.0.0.1]:80", nil}, {"::ffff:127.0.0.1", "127.0.0.1:80", nil},
		{"10.20.0.0/16", "10.20.3.4:80", nil}, {"10.20.0.0/16", "10.21.3.4:80", errNotListed}, {"10.20.0.0/16", "silo.example:80", errNotListed},
		{"silo.example", "silo.example:80", nil}, {"silo.example", "a.silo.example:80", errNotListed}, {"silo.example", "Silo.example.:80", nil},
		{".silo.example", "a.silo.example:80", nil}, {".silo.example", "silo.example:80", errNotListed}, {".silo.example", "evilsilo.example:80", errNotListed},
		{".silo.example", "10.0.0.1:80", errNotListed}, {"0.0.0.0/0", "169.254.169.254:80", nil},
	} {
		t.Run(test.allow+" "+test.address, func(t *testing.T) {
			p, err := New(strings.Fields(test.allow))
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Check(test.address); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("got %v; want %v", err, test.want)
			}
		})
	}
}

func TestWhatIsNoAddressIsNotAllowed(t *testing.T) {
	for _, address := range []string{"", "silo.example", "192.0.2.7", "::1", "[::1]"} {
		t.Run(address, func(t *testing.T) {
			if err := (Policy{}).Check(address); err == nil || !strings.Contains(err.Error(), "expected HOST:PORT") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestListsThatCannotBeReadAreRefused(t *testing.T) {
	for _, allow := range []string{"10.0.0.1/16", "10.0.0.0/33", "*.example", "A.example", "a b", "http://a.example", "a.example:80", "", ".", "fe80::1%eth0"} {
		t.Run(allow, func(t *testing.T) {
			if _, err := New([]string{allow}); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// A tenant names a host of its own, and has it resolve to an address of ours.
func TestANameDoesNotLeadToThisMachineUnlessItIsListed(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		allow []string
		good  bool
	}{
		"by default":              {nil, false},
		"with the name listed":    {[]string{"localhost"}, true},
		"with the address listed": {[]string{"127.0.0.1"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(test.allow)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := (&net.Dialer{Control: p.Control}).DialContext(t.Context(), "tcp", "localhost:"+port)
			if err == nil {
				_ = conn.Close()
			}
			if (err == nil) != test.good || err != nil && !errors.Is(err, errThisHost) {
				t.Errorf("got %v; want it to pass: %v", err, test.good)
			}
		})
	}
}
