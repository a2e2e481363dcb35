# The image for those who build with docker or buildkit; `make image` makes one without either.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS TARGETARCH VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X github.com/godwit-mqtt/godwit/cmd.version=$VERSION" -o /out/godwit .

FROM scratch
COPY --from=build /out/godwit /godwit
USER 65532:65532
ENTRYPOINT ["/godwit"]
