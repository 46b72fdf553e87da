package registry

import "bytes"

// span is a part of a text: where it begins and where it ends.
type span struct{ from, to int }

// splitJSON finds the objects in the list of tenants without reading them, which
// takes a tenth of the time. It returns them, and the text without them: with an
// empty list.
//
// It is sure of itself only if that text is valid and each of the objects is; it
// reports false if the text is of another form than it knows.
func splitJSON(data []byte) (objects []span, frame []byte, ok bool) {
	begin, ok := findList(data)
	if !ok {
		return nil, nil, false
	}
	at := skipSpace(data, begin)
	for first := true; ; first = false {
		if byteAt(data, at) == ']' && first {
			break
		}
		if byteAt(data, at) != '{' {
			return nil, nil, false
		}
		end := skipValue(data, at)
		if end < 0 {
			return nil, nil, false
		}
		objects = append(objects, span{at, end})
		at = skipSpace(data, end)
		if byteAt(data, at) == ']' {
			break
		}
		if byteAt(data, at) != ',' {
			return nil, nil, false
		}
		at = skipSpace(data, at+1)
	}
	frame = append(append(make([]byte, 0, begin+len(data)-at), data[:begin]...), data[at:]...)
	return objects, frame, true
}

// findList returns where the items of the list begin that is the value of
// "tenants" on top.
func findList(data []byte) (begin int, ok bool) {
	at := skipSpace(data, 0)
	if byteAt(data, at) != '{' {
		return 0, false
	}
	for {
		key := skipSpace(data, at+1)
		if byteAt(data, key) != '"' {
			return 0, false
		}
		end := skipValue(data, key)
		if end < 0 {
			return 0, false
		}
		if at = skipSpace(data, end); byteAt(data, at) != ':' {
			return 0, false
		}
		at = skipSpace(data, at+1)
		if string(data[key:end]) == `"tenants"` {
			return at + 1, byteAt(data, at) == '['
		}
		if end = skipValue(data, at); end < 0 {
			return 0, false
		}
		if at = skipSpace(data, end); byteAt(data, at) != ',' {
			return 0, false
		}
	}
}

// skipValue returns where the value that begins there ends, negative if the text
// ends before. It does not see whether the value is a valid one.
func skipValue(data []byte, at int) int {
	depth := 0
	for ; at < len(data); at++ {
		switch data[at] {
		case '"':
			end := skipText(data, at)
			if end < 0 || depth == 0 {
				return end
			}
			at = end - 1
		case '{', '[':
			depth++
		case '}', ']', ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return at // of a number or a word
			}
			if data[at] != '}' && data[at] != ']' {
				continue
			}
			if depth--; depth == 0 {
				return at + 1
			}
		}
	}
	return -1
}

// skipText returns where the text whose quote is there ends, negative if it does
// not.
func skipText(data []byte, at int) int {
	begin := at + 1
	for end := begin; ; end++ {
		next := bytes.IndexByte(data[end:], '"')
		if next < 0 {
			return -1
		}
		end += next
		backslashes := 0
		for i := end - 1; i >= begin && data[i] == '\\'; i-- {
			backslashes++
		}
		if backslashes%2 == 0 {
			return end + 1
		}
	}
}

func skipSpace(data []byte, at int) int {
	for at < len(data) && (data[at] == ' ' || data[at] == '\n' || data[at] == '\t' || data[at] == '\r') {
		at++
	}
	return at
}

// byteAt returns 0, which is no part of a valid text, behind the end.
func byteAt(data []byte, at int) byte {
	if at < len(data) {
		return data[at]
	}
	return 0
}
