package redis

import (
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

func TestOpenRedisNeverRepeatsACommandAndGivesUpSoon(t *testing.T) {
	for _, url := range []string{
		"redis://127.0.0.1:6379/3?max_retries=7&read_timeout=10s",
		"rediss://user:secret@redis.example:6380",
		"unix:///run/redis.sock?db=2",
		"redis+sentinel://10.0.0.1:26379,10.0.0.2:26379/1?master_name=main&max_retries=7",
		"redis+cluster://user:pa%2Css@10.0.0.1:6379,10.0.0.2:6379?max_retries=7",
	} {
		t.Run(url, func(t *testing.T) {
			c, err := openRedis(url, DefaultBudget)
			if err != nil {
				t.Errorf("openRedis(%q): %v", url, err)
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			var read, dial time.Duration
			var retries int
			maint := maintnotifications.ModeDisabled
			switch c := c.(type) {
			case *goredis.Client:
				o := c.Options()
				read, dial, retries = o.ReadTimeout, o.DialTimeout, o.MaxRetries
				if o.MaintNotificationsConfig != nil {
					maint = o.MaintNotificationsConfig.Mode
				}
			case *goredis.ClusterClient:
				o := c.Options()
				read, dial, retries, maint = o.ReadTimeout, o.DialTimeout, o.MaxRetries, o.MaintNotificationsConfig.Mode
				if len(o.Addrs) != 2 || o.Password != "pa,ss" {
					t.Errorf("cluster options are %v %q", o.Addrs, o.Password)
				}
			}
			// go-redis turns -1 into 0: no retries.
			if read != ioTimeout || dial != dialTimeout || retries > 0 || maint != maintnotifications.ModeDisabled {
				t.Errorf("openRedis(%q): read %s, dial %s, retries %d, maintenance notifications %s", url, read, dial, retries, maint)
			}
		})
	}
}

func TestOpenRedisRefusesOtherURLsWithoutShowingPasswords(t *testing.T) {
	for _, url := range []string{
		"", "localhost:6379", "http://user:secret@host", "redis+mirror://user:secret@host",
		"redis://user:secret@host:port", "redis://user:secret@host/x", "redis+sentinel://user:secret@host:1,host:2",
		"redis://user:secret@ho st", "redis+cluster://user:secret@a:x,b:y?unknown=1", "valkey+x://h",
	} {
		t.Run(url, func(t *testing.T) {
			c, err := openRedis(url, DefaultBudget)
			if err == nil {
				c.Close()
				t.Errorf("openRedis(%q) succeeded", url)
				return
			}
			if !strings.HasPrefix(err.Error(), "reading Redis URL: ") || strings.Contains(err.Error(), "secret") {
				t.Errorf("openRedis(%q) says %v", url, err)
			}
		})
	}
}
