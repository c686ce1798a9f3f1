// The calls of both APIs by connect-go, in each of its protocols.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"foreign/gen/user"
	"foreign/gen/user/userconnect"
	"foreign/gen/v1"
	"foreign/gen/v1/v1connect"
	"foreign/seen"
)

const (
	fragment = 4 << 10
	chunk    = 1 << 20
)

func main() {
	given := seen.Take()
	options := protocol(given.Kind)
	client := http2(given.TLS)
	base := root(given.Address, given.TLS)
	usuario := userconnect.NewUsuarioServicioClient(client, base, options...)
	within, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()

	seen.Run("GetUser", func() (string, error) {
		reply, err := usuario.GetUser(within, connect.NewRequest(&user.GetUserRequest{Name: "Zoé", Pow: 3}))
		if err != nil {
			return "", err
		}
		return reply.Msg.GetMessage(), nil
	})
	seen.Run("ProcessImage", func() (string, error) { return process(within, usuario, given.Photo) })
	seen.Run("GetStreamImage", func() (string, error) { return streamed(within, usuario, given.Photo) })
	seen.Run("ImageStreamReply", func() (string, error) { return images(within, usuario, given.Photo) })
	seen.Run("GetUserBidiStream", func() (string, error) { return users(within, usuario, given.Photo) })
	seen.Run("error", func() (string, error) {
		_, err := usuario.GetUser(within, connect.NewRequest(&user.GetUserRequest{}))
		return details(err)
	})
	uploads := v1connect.NewUploadServiceClient(client, base, options...)
	seen.Run("too large", func() (string, error) {
		limits, err := uploads.GetLimits(within, connect.NewRequest(&v1.GetLimitsRequest{}))
		if err != nil {
			return "", err
		}
		_, err = process(within, usuario, make([]byte, limits.Msg.GetMaxMessageBytes()))
		return details(err)
	})
	seen.Run("rejected", func() (string, error) { return rejected(within, uploads) })
	stored := v1connect.NewImageServiceClient(client, base, options...)
	seen.Run("deadline", func() (string, error) { return late(stored) })
	seen.Run("large", func() (string, error) { return process(within, usuario, given.Large) })
	zipping := userconnect.NewUsuarioServicioClient(client, base, append(options, connect.WithSendGzip())...)
	seen.Run("gzip", func() (string, error) { return process(within, zipping, given.Large) })
	id := ""
	seen.Run("upload", func() (found string, err error) {
		broken := v1connect.NewUploadServiceClient(http2(given.TLS), root(given.Proxy, given.TLS), options...)
		id, found, err = upload(within, broken, given.Large)
		return found, err
	})
	seen.Run("download", func() (string, error) { return download(within, stored, id) })
}

func protocol(kind string) []connect.ClientOption {
	var options []connect.ClientOption
	switch name, format, _ := strings.Cut(kind, ", "); name {
	case "gRPC":
		options = append(options, connect.WithGRPC())
	case "gRPC-Web":
		options = append(options, connect.WithGRPCWeb())
	case "Connect":
		if format == "JSON" {
			options = append(options, connect.WithProtoJSON())
		}
	default:
		panic("no such protocol: " + kind)
	}
	return options
}

// http2 is a client that speaks HTTP/2 without TLS too, which streams in both directions need.
func http2(secure *tls.Config) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(secure != nil)
	protocols.SetUnencryptedHTTP2(secure == nil)
	return &http.Client{Transport: &http.Transport{Protocols: protocols, TLSClientConfig: secure}}
}

func root(address string, secure *tls.Config) string {
	if secure != nil {
		return "https://" + address
	}
	return "http://" + address
}

func described(image *user.ImageInfo) string {
	return seen.Image(image.GetFormat(), image.GetWidth(), image.GetHeight(), image.GetSizeBytes())
}

func process(within context.Context, client userconnect.UsuarioServicioClient, image []byte) (string, error) {
	reply, err := client.ProcessImage(within, connect.NewRequest(&user.GetUserRequest{Image: image}))
	if err != nil {
		return "", err
	}
	return described(reply.Msg.GetImageInfo()), nil
}

func streamed(within context.Context, client userconnect.UsuarioServicioClient, image []byte) (string, error) {
	stream := client.GetStreamImage(within)
	for at := 0; at < len(image); at += fragment {
		if err := stream.Send(&user.GetImage{Image: image[at:min(at+fragment, len(image))]}); err != nil {
			break // CloseAndReceive says why.
		}
	}
	reply, err := stream.CloseAndReceive()
	if err != nil {
		return "", err
	}
	return described(reply.Msg.GetImageInfo()), nil
}

func images(within context.Context, client userconnect.UsuarioServicioClient, photo []byte) (string, error) {
	stream := client.ImageStreamReply(within)
	var found []string
	for _, image := range [][]byte{photo, []byte("no image"), photo} {
		if err := stream.Send(&user.GetImage{Image: image}); err != nil {
			return "", err
		}
		reply, err := stream.Receive() // Each reply comes before the next image is sent.
		if err != nil {
			return "", err
		}
		found = append(found, reply.GetImageInfo().GetFormat()+reply.GetError().GetReason())
	}
	return strings.Join(found, ", "), errors.Join(stream.CloseRequest(), stream.CloseResponse())
}

func users(within context.Context, client userconnect.UsuarioServicioClient, photo []byte) (string, error) {
	stream := client.GetUserBidiStream(within)
	var found []string
	for _, pow := range []int32{7, 65536} {
		if err := stream.Send(&user.GetUserRequest{Name: "Iñaki", Pow: pow, Image: photo}); err != nil {
			return "", err
		}
		reply, err := stream.Receive()
		if err != nil {
			return "", err
		}
		text := fmt.Sprint(reply.GetPow())
		for _, problem := range reply.GetErrors() {
			text += " " + problem.GetReason()
		}
		if strings.HasPrefix(string(reply.GetImage()), "\xff\xd8\xff") {
			text += " preview"
		}
		found = append(found, text)
	}
	return strings.Join(found, ", "), errors.Join(stream.CloseRequest(), stream.CloseResponse())
}

func details(err error) (string, error) {
	var problem *connect.Error
	if !errors.As(err, &problem) {
		return "", fmt.Errorf("no error of Connect: %v", err)
	}
	text := fmt.Sprint(uint32(problem.Code()))
	for _, detail := range problem.Details() {
		value, err := detail.Value()
		if err != nil {
			continue // Of a type that this program does not have.
		}
		switch value := value.(type) {
		case *errdetails.ErrorInfo:
			text += " " + value.GetReason()
		case *errdetails.BadRequest:
			text += " " + value.GetFieldViolations()[0].GetField()
		}
	}
	return text, nil
}

func late(client v1connect.ImageServiceClient) (string, error) {
	within, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	stream, err := client.WatchImages(within, connect.NewRequest(&v1.WatchImagesRequest{}))
	if err == nil {
		for stream.Receive() {
		}
		err = stream.Err()
	}
	return fmt.Sprint(uint32(connect.CodeOf(err))), nil
}

// rejected uploads what is no image, and reads why it is none from the outcome.
func rejected(within context.Context, client v1connect.UploadServiceClient) (string, error) {
	created, err := client.CreateUpload(within, connect.NewRequest(&v1.CreateUploadRequest{RequestId: rand.Text()}))
	if err != nil {
		return "", err
	}
	id, data := created.Msg.GetUpload().GetId(), []byte("no image")
	// May be refused already.
	_, _ = client.WriteChunk(within, connect.NewRequest(&v1.WriteChunkRequest{UploadId: id, Data: data}))
	finish := &v1.FinishUploadRequest{Id: id, SizeBytes: int64(len(data))}
	finished, err := client.FinishUpload(within, connect.NewRequest(finish))
	if err != nil {
		return "", err
	}
	upload := finished.Msg.GetUpload()
	return fmt.Sprint(upload.GetState(), " ", upload.GetFailure().GetReason()), nil
}

// upload sends the bytes, and goes on from the committed size when the connection breaks.
func upload(within context.Context, client v1connect.UploadServiceClient, content []byte) (id, found string, err error) {
	size := int64(len(content))
	request := &v1.CreateUploadRequest{RequestId: rand.Text(), SizeBytes: &size}
	created, err := client.CreateUpload(within, connect.NewRequest(request))
	if err != nil {
		return "", "", err
	}
	id = created.Msg.GetUpload().GetId()
	resumed := 0
	for err = write(within, client, id, content); err != nil; resumed++ {
		if resumed == 5 {
			return "", "", err
		}
		err = write(within, client, id, content)
	}
	digest := sha256.Sum256(content)
	finish := &v1.FinishUploadRequest{Id: id, SizeBytes: size, Sha256: digest[:]}
	finished, err := client.FinishUpload(within, connect.NewRequest(finish))
	if err != nil {
		return "", "", err
	}
	state := finished.Msg.GetUpload().GetState()
	return finished.Msg.GetUpload().GetImage().GetId(), fmt.Sprintf("%v, resumed %d", state, resumed), nil
}

func write(within context.Context, client v1connect.UploadServiceClient, id string, content []byte) error {
	stream := client.WriteStream(within)
	if err := stream.Send(&v1.WriteStreamRequest{UploadId: id}); err != nil {
		return err
	}
	begin, err := stream.Receive()
	if err != nil {
		return err
	}
	broken := make(chan error, 1)
	committed := begin.GetCommittedSize()
	go func() { // Acknowledgements come while chunks are sent.
		for {
			reply, err := stream.Receive()
			if err != nil {
				broken <- err
				return
			}
			committed = reply.GetCommittedSize()
		}
	}()
	for at := int(begin.GetCommittedSize()); at < len(content); at += chunk {
		data := content[at:min(at+chunk, len(content))]
		if err := stream.Send(&v1.WriteStreamRequest{Offset: int64(at), Data: data}); err != nil {
			break // What was received says why.
		}
	}
	closed := stream.CloseRequest()
	err = <-broken
	if committed == int64(len(content)) {
		return nil
	}
	return errors.Join(err, closed)
}

func download(within context.Context, client v1connect.ImageServiceClient, id string) (string, error) {
	stream, err := client.DownloadImage(within, connect.NewRequest(&v1.DownloadImageRequest{Id: id}))
	if err != nil {
		return "", err
	}
	digest := sha256.New()
	for stream.Receive() {
		digest.Write(stream.Msg().GetData())
	}
	return fmt.Sprintf("%x", digest.Sum(nil)), stream.Err()
}
