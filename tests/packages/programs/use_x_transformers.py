# needs: x_transformers einops einx loguru sympy frozendict torch_einops_utils
"""x-transformers: training and sampling of a decoder, its options, an encoder with a decoder."""

import torch
from x_transformers import AutoregressiveWrapper, Decoder, TransformerWrapper, XTransformer

torch.manual_seed(0)
SIZES = dict(dim=32, heads=4, attn_dim_head=8)


def decoder(depth, **options):
    return TransformerWrapper(num_tokens=32, max_seq_len=16,
                              attn_layers=Decoder(depth=depth, **SIZES, **options))


model = AutoregressiveWrapper(decoder(2, rotary_pos_emb=True))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
tokens = torch.randint(0, 32, (4, 17))
for _ in range(4):
    loss = model(tokens[:, :16])
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    optimizer.zero_grad()
    print(round(loss.item(), 3))
model.eval()
print(model.generate(tokens[:, :4], 8, temperature=0.0).tolist())
torch.manual_seed(1)
print(model.generate(tokens[:, :4], 6).tolist())

for options in (dict(use_rmsnorm=True, ff_glu=True), dict(alibi_pos_bias=True),
                dict(rel_pos_bias=True), dict(attn_flash=True), dict(attn_kv_heads=2),
                dict(ff_swish=True, ff_glu=True, attn_qk_norm=True), dict(sandwich_norm=True),
                dict(rotary_xpos=True), dict(macaron=True), dict(shift_tokens=1),
                dict(attn_num_mem_kv=4)):
    torch.manual_seed(0)
    net = decoder(1, **options)
    out = net(tokens[:, :16])
    out.logsumexp(-1).mean().backward()
    grads = sum(p.grad.abs().sum().item() for p in net.parameters() if p.grad is not None)
    print(options, round(out.mean().item(), 3), round(grads, 2))

torch.manual_seed(0)
net = XTransformer(dim=32, enc_num_tokens=16, enc_depth=1, enc_heads=2, enc_max_seq_len=8,
                   dec_num_tokens=16, dec_depth=1, dec_heads=2, dec_max_seq_len=8)
source, target = torch.randint(0, 16, (2, 8)), torch.randint(0, 16, (2, 8))
loss = net(source, target, mask=torch.ones_like(source).bool())
loss.backward()
print(round(loss.item(), 3))
