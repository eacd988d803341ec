#include "buildkit.h"

/* protobuf wire types */
enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct field {
	uint64_t number;
	unsigned wire;
	uint64_t value;    /* WIRE_VARINT */
	struct span bytes; /* WIRE_BYTES */
};

static int read_varint(struct span *s, uint64_t *ret)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		if (s->n == 0)
			return -1;
		unsigned char c = (unsigned char)*s->p;
		s->p++;
		s->n--;
		v |= (uint64_t)(c & 0x7f) << shift;
		if ((c & 0x80) == 0) {
			*ret = v;
			return 0;
		}
	}
	return -1;
}

static int take(struct span *s, uint64_t n, struct span *ret)
{
	if (n > s->n)
		return -1;
	*ret = (struct span){s->p, (size_t)n};
	s->p += n;
	s->n -= (size_t)n;
	return 0;
}

static int read_field(struct span *s, struct field *ret)
{
	uint64_t key, n;
	*ret = (struct field){0};
	if (read_varint(s, &key) != 0 || key >> 3 == 0)
		return -1;
	ret->number = key >> 3;
	ret->wire = (unsigned)(key & 7);
	switch (ret->wire) {
	case WIRE_VARINT:
		return read_varint(s, &ret->value);
	case WIRE_64:
		return take(s, 8, &ret->bytes);
	case WIRE_BYTES:
		return read_varint(s, &n) != 0 ? -1 : take(s, n, &ret->bytes);
	case WIRE_32:
		return take(s, 4, &ret->bytes);
	default: /* groups are long gone from the format */
		return -1;
	}
}

static int decode_vertex(struct span s, struct buildkit_vertex *v)
{
	struct field f;
	while (s.n > 0) {
		if (read_field(&s, &f) != 0)
			return -1;
		if (f.wire == WIRE_VARINT && f.number == 4)
			v->cached = f.value != 0;
		if (f.wire != WIRE_BYTES)
			continue;
		switch (f.number) {
		case 1:
			v->digest = f.bytes;
			break;
		case 3:
			v->name = f.bytes;
			break;
		case 5:
			v->started = true;
			break;
		case 6:
			v->completed = true;
			break;
		case 7:
			v->error = f.bytes;
			break;
		default:
			break;
		}
	}
	return 0;
}

static int decode_log(struct span s, struct buildkit_log *l)
{
	struct field f;
	while (s.n > 0) {
		if (read_field(&s, &f) != 0)
			return -1;
		if (f.wire == WIRE_VARINT && f.number == 3)
			l->stream = f.value;
		else if (f.wire == WIRE_BYTES && f.number == 1)
			l->vertex = f.bytes;
		else if (f.wire == WIRE_BYTES && f.number == 4)
			l->text = f.bytes;
	}
	return 0;
}

static int decode_record(const struct field *f, const struct buildkit_events *ev, void *arg)
{
	if (f->wire != WIRE_BYTES)
		return 0;
	if (f->number == 1) {
		struct buildkit_vertex v = {0};
		if (decode_vertex(f->bytes, &v) != 0)
			return -1;
		ev->vertex(arg, &v);
	} else if (f->number == 3) {
		struct buildkit_log l = {0};
		if (decode_log(f->bytes, &l) != 0)
			return -1;
		ev->log(arg, &l);
	}
	return 0;
}

int buildkit_decode(
	const void *p, size_t n, const struct buildkit_events *ev, void *arg, struct vk_err *err)
{
	struct span s = {p, n};
	struct field f;
	while (s.n > 0) {
		if (read_field(&s, &f) != 0 || decode_record(&f, ev, arg) != 0)
			return vk_err_set(err, VK_INVALID,
				"the engine's build progress is not what BuildKit sends");
	}
	return 0;
}
