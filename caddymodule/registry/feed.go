package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

type feed struct {
	url    *url.URL
	client *http.Client
	opts   HTTPOptions
	name   string
	poll   *poller

	// What the last successful look left, all empty before the first and after a
	// failure: what to ask the next one with, the sum of its text if that was a whole
	// one, and whether all of it was returned.
	asked question
	sum   [sha256.Size]byte
	whole bool
	// known says that there was a look that changes can follow.
	known bool
	text  jsonText
	// version is the highest one ever met.
	version int64

	// stash is a whole feed that came when changes were asked for.
	stash *wholeFeed
}

// question is what a request refers to.
type question struct{ etag, cursor string }

// answer is what a request brought. It is read by the look that it is for.
type answer struct {
	etag string
	data []byte
	sum  [sha256.Size]byte
}

// wholeFeed is an answer that was read.
type wholeFeed struct {
	*answer
	doc document
}

func (s *feed) String() string { return s.name }

// Changed implements [Notifier].
func (s *feed) Changed() <-chan struct{} { return s.poll.changed }

func (s *feed) Close() error {
	s.poll.close()
	s.client.CloseIdleConnections()
	return nil
}

func (s *feed) Load(ctx context.Context) ([]Record, error) {
	records, err := s.load(ctx)
	if err != nil {
		return nil, s.fail(err)
	}
	return records, nil
}

func (s *feed) load(ctx context.Context) ([]Record, error) {
	if stash := s.stash; stash != nil {
		s.stash = nil
		return stash.doc.tenants, s.accept(stash.answer, &stash.doc, true) //nolint:contextcheck // the poller outlives the look: Close ends it
	}
	if s.whole {
		a, err := s.ask(ctx, question{etag: s.asked.etag})
		if err != nil {
			return nil, err
		}
		doc, err := s.read(a) //nolint:contextcheck // as above
		if err != nil {
			return nil, err
		}
		if !doc.delta {
			return doc.tenants, s.accept(a, &doc, true) //nolint:contextcheck // as above
		}
	}
	a, err := s.fetch(ctx, question{}, 0)
	if err != nil {
		return nil, err
	}
	doc, err := s.read(a) //nolint:contextcheck // as above
	if err != nil {
		return nil, err
	}
	if doc.delta {
		return nil, errors.New("expected the whole feed, found a delta")
	}
	return doc.tenants, s.accept(a, &doc, true) //nolint:contextcheck // as above
}

// read reads an answer, unless all of it is known.
func (s *feed) read(a *answer) (document, error) {
	if s.whole && a.sum == s.sum {
		s.repeated(a)
		return document{}, ErrUnchanged
	}
	return s.text.all(a.data)
}

// LoadChanges implements [Incremental]. A feed that has a cursor says itself what
// has changed; one without is compared with what it was.
func (s *feed) LoadChanges(ctx context.Context) (Changes, error) {
	if !s.known {
		return Changes{}, ErrFull
	}
	changes, err := s.loadChanges(ctx)
	if err != nil && !errors.Is(err, ErrFull) {
		return Changes{}, s.fail(err)
	}
	return changes, err
}

func (s *feed) loadChanges(ctx context.Context) (Changes, error) {
	a, err := s.ask(ctx, s.asked)
	if err != nil {
		return Changes{}, err
	}
	if a.sum == s.sum {
		s.repeated(a) //nolint:contextcheck // the poller outlives the look: Close ends it
		return Changes{}, ErrUnchanged
	}
	doc, ok := s.text.changes(a.data)
	if !ok {
		if doc, err = s.text.all(a.data); err != nil {
			return Changes{}, err
		}
		if !doc.delta {
			s.stash = &wholeFeed{a, doc}
			return Changes{}, ErrFull
		}
		a.sum = [sha256.Size]byte{} // of no whole text
	}
	return doc.changes(), s.accept(a, &doc, false) //nolint:contextcheck // as above
}

// ask takes the poller's answer if there is a poller.
func (s *feed) ask(ctx context.Context, q question) (*answer, error) {
	if s.opts.LongPoll > 0 {
		return s.poll.take()
	}
	return s.fetch(ctx, q, 0)
}

// accept makes the answer the one that the next request refers to.
func (s *feed) accept(a *answer, doc *document, whole bool) error {
	if doc.version >= 0 && doc.version < s.version {
		return fmt.Errorf("expected version %d or later, found %d", s.version, doc.version)
	}
	s.asked = question{a.etag, doc.cursor}
	s.known, s.whole, s.sum, s.version = true, whole, a.sum, max(s.version, doc.version)
	s.await()
	return nil
}

// repeated is accept for an answer that says what the last one said.
func (s *feed) repeated(a *answer) {
	s.asked.etag = a.etag
	s.await()
}

func (s *feed) await() {
	if s.opts.LongPoll > 0 {
		s.poll.begin(s.asked)
	}
}

// fail names the source; after a failure everything is asked for again.
func (s *feed) fail(err error) error {
	if errors.Is(err, ErrUnchanged) {
		return err
	}
	s.asked, s.known, s.whole, s.stash = question{}, false, false, nil
	return fmt.Errorf("reading tenants from %s: %w", s.name, err)
}

var (
	_ Incremental = (*feed)(nil)
	_ Notifier    = (*feed)(nil)
)
