"""Defines what a Redis or Valkey server does for the queue, each step at once: scripts in Lua.

A message is an entry of a stream, with one consumer group. Who holds it is the group's own list of
pending entries: the consumer's name is the lease's token. What that list does not know is kept
beside it, and changed together with it:

- ``leases``: a sorted set, entry → when its lease ends;
- ``released``: a sorted set, entry that was given back → from when on it may be claimed;
- ``keys``: a hash, what equal events have in common → the entry that has it.

Times are milliseconds of the server's clock.
"""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["ACK", "CLAIM", "DEPTH", "ENQUEUE", "EXTEND", "GROUP", "RELEASE", "Script"]

GROUP: Final = "workers"
"""The consumer group."""

_PRELUDE: Final = """
local stream, leases, released, keys = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, nobody = 'workers', 'nobody'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- The consumer that has an entry, and how often the entry was delivered.
local function holder(id)
  local found = redis.call('XPENDING', stream, group, id, id, 1)[1]
  if found then return found[2], found[4] end
end

local function holds(token, id)
  local ends = redis.call('ZSCORE', leases, id)
  return ends and tonumber(ends) > now and holder(id) == token
end

-- Each claim is a consumer of its own; one without an entry is of no use any more.
local function forget(consumer)
  if #redis.call('XPENDING', stream, group, '-', '+', 1, consumer) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer)
  end
end
"""


class Script:
    """A script, and the name that the server knows it by.

    Args:
        body: What it does, in Lua.
        flags: What it needs of the server. Without any, it is refused while memory is short.
    """

    def __init__(self, body: str, flags: str = "") -> None:
        shebang = f"#!lua flags={flags}" if flags else "#!lua"
        self.source = f"{shebang}{_PRELUDE}{body}"
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


ENQUEUE: Final = Script("""
-- ARGV: name of this call; for each event: key, id, where its arrival is from, message.
-- Returns for each: entry, id of the event that is there, whether that is another one.
local answers = {}
for i = 2, #ARGV, 4 do
  local key, event, arrival, message = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  -- A client that repeats a call whose answer it did not hear has the same answer once more.
  local call = ARGV[1] .. ':' .. i
  local known = redis.call('HGET', keys, key)
  local entry, by, first
  if known then entry, by, first = string.match(known, '^(%S+) (%S+) (.*)$') end
  -- A key whose entry is gone (trimmed, deleted by hand) must not swallow what comes after it.
  if not entry or #redis.call('XRANGE', stream, entry, entry) == 0 then
    by, first = call, event
    entry = redis.call('XADD', stream, '*', 'key', key, 'arrival', arrival, 'event', message)
    redis.call('HSET', keys, key, entry .. ' ' .. by .. ' ' .. event)
  end
  answers[#answers + 1] = {entry, first, by == call and 0 or 1}
end
return answers
""")
"""Store events that are not there yet."""


CLAIM: Final = Script(
    """
-- ARGV: token, limit, lease.
-- Returns the claimed: {entry, fields, deliveries}; and how many entries had gone.
local token, limit, ends = ARGV[1], tonumber(ARGV[2]), now + ARGV[3]
local jobs, gone = {}, 0

-- The pending entries are the truth. What is beside them is mended where it differs: somebody has
-- deleted one of the keys, made the group anew or read from it.
local function mend()
  local pending = redis.call('XPENDING', stream, group)[1]
  if pending == redis.call('ZCARD', leases) + redis.call('ZCARD', released) then return end
  for _, set in ipairs({leases, released}) do
    for _, id in ipairs(redis.call('ZRANGE', set, 0, -1)) do
      if not holder(id) then redis.call('ZREM', set, id) end
    end
  end
  if pending == 0 then return end
  for _, each in ipairs(redis.call('XPENDING', stream, group, '-', '+', pending)) do
    local id = each[1]
    if not redis.call('ZSCORE', leases, id) and not redis.call('ZSCORE', released, id) then
      redis.call('ZADD', released, now, id)
    end
  end
end

local function add(entry, deliveries)
  redis.call('ZADD', leases, ends, entry[1])
  jobs[#jobs + 1] = {entry[1], entry[2], deliveries}
end

local function take(set)
  if #jobs >= limit then return end
  local due = redis.call('ZRANGEBYSCORE', set, '-inf', now, 'LIMIT', 0, limit - #jobs)
  for _, id in ipairs(due) do
    local was, deliveries = holder(id)
    redis.call('ZREM', set, id)
    if was then
      deliveries = deliveries + 1
      local found = redis.call(
        'XCLAIM', stream, group, token, 0, id, 'RETRYCOUNT', deliveries)[1]
      if found then add(found, deliveries) else gone = gone + 1 end
      forget(was)
    end
  end
end

mend()
-- A client that repeats a claim whose answer it did not hear has the same answer once more.
for _, each in ipairs(redis.call('XPENDING', stream, group, '-', '+', limit, token)) do
  local found = redis.call('XRANGE', stream, each[1], each[1])[1]
  if found then add(found, each[4]) end
end
if #jobs == 0 then
  take(released)
  take(leases)
  if #jobs < limit then
    local read = redis.call('XREADGROUP', 'GROUP', group, token, 'COUNT', limit - #jobs,
      'STREAMS', stream, '>')
    for _, entry in ipairs(read and read[1][2] or {}) do add(entry, 1) end
  end
  if #jobs == 0 then redis.call('XGROUP', 'DELCONSUMER', stream, group, token) end
end
return {jobs, gone}
""",
    "allow-oom",
)
"""Lease what was released, what has expired, and then what nobody has had."""


EXTEND: Final = Script(
    """
-- ARGV: lease; for each job: entry, token, key. Returns the entries whose lease is lost.
local lost = {}
for i = 2, #ARGV, 3 do
  if holds(ARGV[i + 1], ARGV[i]) then
    redis.call('ZADD', leases, now + ARGV[1], ARGV[i])
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
""",
    "allow-oom",
)
"""Lengthen leases that hold."""


ACK: Final = Script(
    """
-- ARGV: for each job: entry, token, key. Returns the entries whose lease is lost; all or nothing.
local lost = {}
for i = 1, #ARGV, 3 do
  if not holds(ARGV[i + 1], ARGV[i]) then lost[#lost + 1] = ARGV[i] end
end
if #lost > 0 then return lost end
for i = 1, #ARGV, 3 do
  local id, token, key = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  redis.call('XACK', stream, group, id)
  redis.call('XDEL', stream, id)
  redis.call('ZREM', leases, id)
  local known = redis.call('HGET', keys, key)
  if known and string.find(known, id .. ' ', 1, true) == 1 then redis.call('HDEL', keys, key) end
  forget(token)
end
return lost
""",
    "allow-oom",
)
"""Forget messages under leases that hold."""


RELEASE: Final = Script(
    """
-- ARGV: delay; for each job: entry, token, key. What is not held is left alone.
for i = 2, #ARGV, 3 do
  local id, token = ARGV[i], ARGV[i + 1]
  if holds(token, id) then
    local _, deliveries = holder(id)
    -- It was given back, not left behind by a worker that died: that was no delivery.
    redis.call('XCLAIM', stream, group, nobody, 0, id, 'RETRYCOUNT', deliveries - 1, 'JUSTID')
    redis.call('ZREM', leases, id)
    redis.call('ZADD', released, now + ARGV[1], id)
    forget(token)
  end
end
return {}
""",
    "allow-oom",
)
"""Give messages back."""


DEPTH: Final = Script(
    """
-- Returns: ready, delayed, leased; the oldest that is not leased, and since when one could have
-- been claimed, in milliseconds, -1 for none.
local total = redis.call('XLEN', stream)
if total == 0 then return {0, 0, 0, -1, -1} end
local leased = redis.call('ZCOUNT', leases, '(' .. now, '+inf')
local delayed = redis.call('ZCOUNT', released, '(' .. now, '+inf')

local function earlier(one, other)
  other = tonumber(other)
  return one >= 0 and one <= other and one or other
end

local function stored(id) return string.match(id, '^%d+') end

local oldest, since = -1, -1
for _, id in ipairs(redis.call('ZRANGE', released, 0, -1)) do
  oldest = earlier(oldest, stored(id))
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now)) do
  oldest = earlier(oldest, stored(id))
end
for _, set in ipairs({leases, released}) do
  local first = redis.call('ZRANGEBYSCORE', set, '-inf', now, 'WITHSCORES', 'LIMIT', 0, 1)
  if first[2] then since = earlier(since, first[2]) end
end

local read
for _, each in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local found = {}
  for i = 1, #each, 2 do found[each[i]] = each[i + 1] end
  if found['name'] == group then read = found['last-delivered-id'] end
end
if not read then return redis.error_reply('NOGROUP it is made by the next claim') end
local first = redis.call('XRANGE', stream, '(' .. read, '+', 'COUNT', 1)[1]
if first then
  oldest = earlier(oldest, stored(first[1]))
  since = earlier(since, stored(first[1]))
end
return {math.max(total - leased - delayed, 0), delayed, leased, oldest, since}
""",
    "no-writes",
)
"""Count."""
