// Package seen is what both programs share: what they are given, and how they say what they saw.
package seen

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Given is what the tests hand to every program, in its environment.
type Given struct {
	Address string // HOST:PORT of the server
	Proxy   string // HOST:PORT of a proxy that cuts the connection once
	Kind    string // the protocol, for clients that have several
	Photo   []byte // a JPEG
	Large   []byte // a BMP of 50 MB
	TLS     *tls.Config
}

// Take reads the environment. It ends the program if a file is missing.
func Take() Given {
	given := Given{
		Address: os.Getenv("FOREIGN_ADDRESS"),
		Proxy:   os.Getenv("FOREIGN_PROXY"),
		Kind:    os.Getenv("FOREIGN_KIND"),
		Photo:   read(os.Getenv("FOREIGN_PHOTO")),
		Large:   read(os.Getenv("FOREIGN_LARGE")),
	}
	if certs := os.Getenv("FOREIGN_CERTS"); certs != "" {
		authorities := x509.NewCertPool()
		authorities.AppendCertsFromPEM(read(filepath.Join(certs, "ca.pem")))
		own, err := tls.LoadX509KeyPair(filepath.Join(certs, "client.pem"), filepath.Join(certs, "client.key"))
		if err != nil {
			panic(err)
		}
		given.TLS = &tls.Config{RootCAs: authorities, Certificates: []tls.Certificate{own}}
	}
	return given
}

func read(path string) []byte {
	content, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return content
}

// Run prints what one case saw, or the error with which it failed.
func Run(name string, see func() (string, error)) {
	found, err := see()
	if err != nil {
		found = "failed: " + strings.ReplaceAll(err.Error(), "\n", " ")
	}
	fmt.Printf("%s\t%s\n", name, found)
}

// Image describes an image as all programs do.
func Image(format string, width, height int32, bytes int64) string {
	return fmt.Sprintf("%s %dx%d %d", format, width, height, bytes)
}
