// The calls of both APIs by grpc-go.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"foreign/gen/user"
	"foreign/gen/v1"
	"foreign/seen"
)

const (
	fragment = 4 << 10
	chunk    = 1 << 20
)

func main() {
	given := seen.Take()
	connection := dial(given.Address, given)
	usuario := user.NewUsuarioServicioClient(connection)
	within, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()

	seen.Run("GetUser", func() (string, error) {
		reply, err := usuario.GetUser(within, &user.GetUserRequest{Name: "Zoé", Pow: 3})
		return reply.GetMessage(), err
	})
	process := func(image []byte, options ...grpc.CallOption) (string, error) {
		reply, err := usuario.ProcessImage(within, &user.GetUserRequest{Image: image}, options...)
		return described(reply.GetImageInfo()), err
	}
	seen.Run("ProcessImage", func() (string, error) { return process(given.Photo) })
	seen.Run("GetStreamImage", func() (string, error) { return streamed(within, usuario, given.Photo) })
	seen.Run("ImageStreamReply", func() (string, error) { return images(within, usuario, given.Photo) })
	seen.Run("GetUserBidiStream", func() (string, error) { return users(within, usuario, given.Photo) })
	seen.Run("error", func() (string, error) {
		_, err := usuario.GetUser(within, &user.GetUserRequest{})
		return details(err), nil
	})
	uploads := v1.NewUploadServiceClient(connection)
	seen.Run("too large", func() (string, error) {
		limits, err := uploads.GetLimits(within, &v1.GetLimitsRequest{})
		if err != nil {
			return "", err
		}
		_, err = usuario.ProcessImage(within, &user.GetUserRequest{Image: make([]byte, limits.GetMaxMessageBytes())})
		return details(err), nil
	})
	seen.Run("rejected", func() (string, error) { return rejected(within, uploads) })
	seen.Run("deadline", func() (string, error) { return late(v1.NewImageServiceClient(connection)) })
	seen.Run("large", func() (string, error) { return process(given.Large) })
	seen.Run("gzip", func() (string, error) { return process(given.Large, grpc.UseCompressor(gzip.Name)) })
	id := ""
	seen.Run("upload", func() (found string, err error) {
		id, found, err = upload(within, v1.NewUploadServiceClient(dial(given.Proxy, given)), given.Large)
		return found, err
	})
	seen.Run("download", func() (string, error) { return download(within, v1.NewImageServiceClient(connection), id) })
	seen.Run("health", func() (string, error) {
		reply, err := grpc_health_v1.NewHealthClient(connection).Check(within, &grpc_health_v1.HealthCheckRequest{})
		return reply.GetStatus().String(), err
	})
}

func dial(address string, given seen.Given) *grpc.ClientConn {
	transport := insecure.NewCredentials()
	if given.TLS != nil {
		transport = credentials.NewTLS(given.TLS)
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(transport))
	if err != nil {
		panic(err)
	}
	return connection
}

func described(image *user.ImageInfo) string {
	return seen.Image(image.GetFormat(), image.GetWidth(), image.GetHeight(), image.GetSizeBytes())
}

func streamed(within context.Context, client user.UsuarioServicioClient, image []byte) (string, error) {
	stream, err := client.GetStreamImage(within)
	if err != nil {
		return "", err
	}
	for at := 0; at < len(image); at += fragment {
		if err := stream.Send(&user.GetImage{Image: image[at:min(at+fragment, len(image))]}); err != nil {
			break // CloseAndRecv says why.
		}
	}
	reply, err := stream.CloseAndRecv()
	return described(reply.GetImageInfo()), err
}

func images(within context.Context, client user.UsuarioServicioClient, photo []byte) (string, error) {
	stream, err := client.ImageStreamReply(within)
	if err != nil {
		return "", err
	}
	var found []string
	for _, image := range [][]byte{photo, []byte("no image"), photo} {
		if err := stream.Send(&user.GetImage{Image: image}); err != nil {
			return "", err
		}
		reply, err := stream.Recv() // Each reply comes before the next image is sent.
		if err != nil {
			return "", err
		}
		found = append(found, reply.GetImageInfo().GetFormat()+reply.GetError().GetReason())
	}
	return ended(stream.CloseSend(), func() error { _, err := stream.Recv(); return err }, found)
}

func users(within context.Context, client user.UsuarioServicioClient, photo []byte) (string, error) {
	stream, err := client.GetUserBidiStream(within)
	if err != nil {
		return "", err
	}
	var found []string
	for _, pow := range []int32{7, 65536} {
		if err := stream.Send(&user.GetUserRequest{Name: "Iñaki", Pow: pow, Image: photo}); err != nil {
			return "", err
		}
		reply, err := stream.Recv()
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
	return ended(stream.CloseSend(), func() error { _, err := stream.Recv(); return err }, found)
}

// ended joins what was found if the stream then ends without an error.
func ended(err error, receive func() error, found []string) (string, error) {
	if err == nil {
		err = receive()
	}
	if !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("the stream did not end: %v", err)
	}
	return strings.Join(found, ", "), nil
}

func details(err error) string {
	problem := status.Convert(err)
	text := fmt.Sprint(uint32(problem.Code()))
	for _, detail := range problem.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			text += " " + detail.GetReason()
		case *errdetails.BadRequest:
			text += " " + detail.GetFieldViolations()[0].GetField()
		}
	}
	return text
}

func late(client v1.ImageServiceClient) (string, error) {
	within, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	stream, err := client.WatchImages(within, &v1.WatchImagesRequest{})
	for err == nil {
		_, err = stream.Recv()
	}
	return fmt.Sprint(uint32(status.Code(err))), nil
}

// rejected uploads what is no image, and reads why it is none from the outcome.
func rejected(within context.Context, client v1.UploadServiceClient) (string, error) {
	created, err := client.CreateUpload(within, &v1.CreateUploadRequest{RequestId: rand.Text()})
	if err != nil {
		return "", err
	}
	id, data := created.GetUpload().GetId(), []byte("no image")
	_, _ = client.WriteChunk(within, &v1.WriteChunkRequest{UploadId: id, Data: data}) // May be refused already.
	finished, err := client.FinishUpload(within, &v1.FinishUploadRequest{Id: id, SizeBytes: int64(len(data))})
	return fmt.Sprint(finished.GetUpload().GetState(), " ", finished.GetUpload().GetFailure().GetReason()), err
}

// upload sends the bytes, and goes on from the committed size when the connection breaks.
func upload(within context.Context, client v1.UploadServiceClient, content []byte) (id, found string, err error) {
	size := int64(len(content))
	created, err := client.CreateUpload(within, &v1.CreateUploadRequest{RequestId: rand.Text(), SizeBytes: &size})
	if err != nil {
		return "", "", err
	}
	resumed := 0
	for err = write(within, client, created.GetUpload().GetId(), content); err != nil; resumed++ {
		if resumed == 5 {
			return "", "", err
		}
		err = write(within, client, created.GetUpload().GetId(), content)
	}
	digest := sha256.Sum256(content)
	request := &v1.FinishUploadRequest{Id: created.GetUpload().GetId(), SizeBytes: size, Sha256: digest[:]}
	finished, err := client.FinishUpload(within, request, grpc.WaitForReady(true))
	state := finished.GetUpload().GetState()
	return finished.GetUpload().GetImage().GetId(), fmt.Sprintf("%v, resumed %d", state, resumed), err
}

func write(within context.Context, client v1.UploadServiceClient, id string, content []byte) error {
	stream, err := client.WriteStream(within, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	if err := stream.Send(&v1.WriteStreamRequest{UploadId: id}); err != nil {
		return err
	}
	begin, err := stream.Recv()
	if err != nil {
		return err
	}
	broken := make(chan error, 1)
	go func() { // Acknowledgements come while chunks are sent.
		for {
			if _, err := stream.Recv(); err != nil {
				broken <- err
				return
			}
		}
	}()
	for at := int(begin.GetCommittedSize()); at < len(content); at += chunk {
		data := content[at:min(at+chunk, len(content))]
		if err := stream.Send(&v1.WriteStreamRequest{Offset: int64(at), Data: data}); err != nil {
			break // What was received says why.
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if err := <-broken; !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func download(within context.Context, client v1.ImageServiceClient, id string) (string, error) {
	stream, err := client.DownloadImage(within, &v1.DownloadImageRequest{Id: id})
	if err != nil {
		return "", err
	}
	digest := sha256.New()
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return fmt.Sprintf("%x", digest.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
		digest.Write(frame.GetData())
	}
}
