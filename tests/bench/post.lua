-- SPDX-License-Identifier: Apache-2.0
-- for wrk: POST /events with 64 bytes, 1,000 keys in turn; one line of figures at the end
local n = 0
local body = string.rep("x", 64)

request = function()
	n = (n + 1) % 1000
	return wrk.format("POST", string.format("/events?key=K%04d", n), nil, body)
end

done = function(summary, latency)
	local e = summary.errors
	io.write(string.format("figures %d %d %d %.1f %.1f\n", summary.requests, summary.duration,
		e.connect + e.read + e.write + e.timeout + e.status, latency:percentile(50), latency:percentile(99)))
end
