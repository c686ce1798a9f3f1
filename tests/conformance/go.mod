// The suites, and what they need to be built: the same versions every time. h2spec names none itself.
// The build adds indirect requirements to a copy in build/.
module conformance

go 1.26

tool (
	connectrpc.com/conformance/cmd/connectconformance
	github.com/summerwind/h2spec/cmd/h2spec
	google.golang.org/grpc/interop/client
)

require (
	connectrpc.com/conformance v1.0.7
	github.com/fatih/color v1.7.0
	github.com/mattn/go-colorable v0.0.9
	github.com/mattn/go-isatty v0.0.12
	github.com/spf13/cobra v1.10.2
	github.com/summerwind/h2spec v2.2.1+incompatible
	google.golang.org/grpc v1.84.0
)
