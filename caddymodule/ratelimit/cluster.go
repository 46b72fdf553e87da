package ratelimit

// clusterGroups is into how many parts the slots of a Redis Cluster are cut
// for sending. A pipeline of go-redis waits for every node it touches, so one
// that spanned all slots would be as slow as the slowest node.
const clusterGroups = 16

// groupOf returns the group that sends for key. All keys of a tenant are in
// one slot.
func (r *Redis) groupOf(key Key) *group {
	if len(r.groups) == 1 {
		return r.groups[0]
	}
	tag := tenantTag("", key.Tenant)
	slot := crc16(tag[len(":{"):len(tag)-len("}:")]) % 16384
	return r.groups[int(slot)*len(r.groups)/16384]
}

// crc16 is the checksum that Redis Cluster maps hash tags to slots with
// (XMODEM: polynomial 0x1021, nothing reflected).
func crc16(s string) uint16 {
	var crc uint16
	for i := range len(s) {
		crc ^= uint16(s[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
