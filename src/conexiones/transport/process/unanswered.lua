-- A share of the calls without an answer for each client. Each of Envoy's threads counts for itself.
--
-- What arrives is queued for the one event loop of Python without a bound. HTTP/2 bounds the calls that are
-- open; a call that its client has reset is open no longer, but Python still has to look at it. So calls are
-- counted here from their arrival to their answer. A client that lets its calls be answered is never slowed
-- down. Those that it abandoned are forgotten slowly.
--
-- The filter is on while routes.py says so. Calls that began before are not counted.
--
-- LIMIT, FORGET and the answers of BUSY are set by unanswered.py, in front of this text.

local CLIENTS = 4096  -- so many are remembered
local SWEEP = 100     -- milliseconds between two sweeps
local COUNTED = "conexiones.counted"  -- the metadata of a call that is counted

local held = {}  -- client → calls without an answer
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

-- Forgets as many calls of each client as the time since the last sweep allows.
local function sweep(now)
  local lost = (now - swept) * FORGET / 1000
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

-- A client may hold half of what all others leave.
local function full(count)
  return count + 1 > (LIMIT - total + count) / 2
end

function envoy_on_request(handle)
  local info = handle:streamInfo()
  local client = key(info:downstreamRemoteAddress())
  local count = held[client]
  if count and full(count) or clients >= CLIENTS then
    local now = handle:timestamp()
    swept = swept or now
    if now - swept >= SWEEP then
      sweep(now)
      if clients >= CLIENTS then
        held, clients, total = {}, 0, 0
      end
      count = held[client]
    end
    if count and full(count) then
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
  total = total + 1
  info:dynamicMetadata():set(COUNTED, "client", client)
end

function envoy_on_response(handle)
  -- Envoy's own answers come here, too, also to requests that were never counted.
  local counted = handle:streamInfo():dynamicMetadata():get(COUNTED)
  local client = counted and counted.client
  local count = client and held[client]
  if count then
    local left = math.max(0, count - 1)
    held[client] = left
    total = total + left - count
  end
end
