-- A share of the calls without an answer for each client. Each of Envoy's threads counts for itself.
--
-- What arrives is queued for the one event loop of Python without a bound. HTTP/2 bounds the calls that are
-- open; a call that its client has reset is open no longer, but Python still has to look at it. So calls are
-- counted here from their arrival to their answer. A client that lets its calls be answered is never slowed
-- down. Those that it abandoned are forgotten slowly. As in shares.py, a connection with few of them may go
-- beyond the share of its client, so that others at the same address do not pay for one that abandons calls.
--
-- The filter is on while routes.py says so. Calls that began before are not counted.
--
-- LIMIT, PLACES, FORGET, CONNECTION (a header) and the answers of BUSY are set by unanswered.py, in front of
-- this text.

local CLIENTS = 4096  -- so many are remembered
local SWEEP = 100     -- milliseconds between two sweeps
local COUNTED = "conexiones.counted"  -- the metadata of a call that is counted

local held = {}  -- client → calls without an answer
local of = {}    -- connection → those of them that are its own
local clients, total = 0, 0
local swept  -- the time of the last sweep, in milliseconds

-- The key of an address with its port, as in shares.py: of IPv6, the network of 64 bits.
local function key(address)
  local inner = string.match(address, "^%[(.*)%]")
  if not inner then
    return string.match(address, "^(.*):%d+$") or address
  end
  local mapped = string.match(inner, "^::ffff:(%d+%.%d+%.%d+%.%d+)$")
  if mapped then
    return mapped
  end
  local left = string.match(inner, "^(.-)::")
  local groups = {}
  for group in string.gmatch(left or inner, "%x+") do
    groups[#groups + 1] = group
  end
  for index = 1, 4 do
    groups[index] = groups[index] or "0"
  end
  return table.concat(groups, ":", 1, 4)
end

-- The key of a connection. Behind a proxy that names clients, their addresses have no port.
local function connection_of(handle, address)
  if string.match(address, ":0$") then
    return address .. " " .. (handle:headers():get(CONNECTION) or "")
  end
  return address
end

-- Forgets as many calls of each client and each connection as the time since the last sweep allows.
local function sweep(now)
  local lost = (now - swept) * FORGET / 1000
  for connection, count in pairs(of) do
    of[connection] = count > lost and count - lost or nil
  end
  swept, clients, total = now, 0, 0
  for client, count in pairs(held) do
    if count > lost then
      held[client] = count - lost
      clients, total = clients + 1, total + count - lost
    else
      held[client] = nil
    end
  end
end

-- A client may hold half of what all others leave; for a connection with few calls, a half more.
local function full(count, connection)
  local share = (LIMIT - total + count) / 2
  if (of[connection] or 0) < PLACES then
    share = share * 1.5
  end
  return count + 1 > share
end

function envoy_on_request(handle)
  local info = handle:streamInfo()
  local address = info:downstreamRemoteAddress()
  local client, connection = key(address), connection_of(handle, address)
  local count = held[client]
  if count and full(count, connection) or clients >= CLIENTS then
    local now = handle:timestamp()
    swept = swept or now
    if now - swept >= SWEEP then
      sweep(now)
      if clients >= CLIENTS then
        held, of, clients, total = {}, {}, 0, 0
      end
      count = held[client]
    end
    if count and full(count, connection) then
      local kind = handle:headers():get("content-type") or ""
      for _, busy in ipairs(BUSY) do
        if string.sub(kind, 1, #busy.kind) == busy.kind then
          handle:respond(busy.headers, busy.body)
          return
        end
      end
    end
  end
  if not count then
    count = 0
    clients = clients + 1
  end
  held[client] = count + 1
  of[connection] = (of[connection] or 0) + 1
  total = total + 1
  info:dynamicMetadata():set(COUNTED, "connection", connection)
end

function envoy_on_response(handle)
  -- Envoy's own answers come here, too, also to requests that were never counted.
  local counted = handle:streamInfo():dynamicMetadata():get(COUNTED)
  local connection = counted and counted.connection
  if not connection then
    return
  end
  local client = key(string.match(connection, "^%S+"))
  local count = held[client]
  if count then
    local left = math.max(0, count - 1)
    held[client] = left
    total = total + left - count
  end
  local own = of[connection]
  if own then
    of[connection] = own > 1 and own - 1 or nil
  end
end
