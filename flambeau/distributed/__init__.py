"""torch.distributed for programs that run alone or as one of many.

Collectives work in a world of one process. Larger worlds need a transport, which this build does
not have: asking for one raises an error that says so.
"""

from __future__ import annotations

from .collectives import (all_gather as all_gather,
                          all_gather_coalesced as all_gather_coalesced,
                          all_gather_into_tensor as all_gather_into_tensor,
                          all_gather_object as all_gather_object, all_reduce as all_reduce,
                          all_reduce_coalesced as all_reduce_coalesced,
                          all_to_all as all_to_all, all_to_all_single as all_to_all_single,
                          barrier as barrier, broadcast as broadcast,
                          broadcast_object_list as broadcast_object_list, gather as gather,
                          gather_object as gather_object, irecv as irecv, isend as isend,
                          monitored_barrier as monitored_barrier, recv as recv, reduce as reduce,
                          reduce_op as reduce_op, reduce_scatter as reduce_scatter,
                          reduce_scatter_tensor as reduce_scatter_tensor, ReduceOp as ReduceOp,
                          scatter as scatter, scatter_object_list as scatter_object_list,
                          send as send, Work as Work)
from .group import (Backend as Backend, destroy_process_group as destroy_process_group,
                    DistBackendError as DistBackendError, DistError as DistError,
                    DistNetworkError as DistNetworkError, DistStoreError as DistStoreError,
                    FileStore as FileStore, get_backend as get_backend,
                    get_global_rank as get_global_rank, get_group_rank as get_group_rank,
                    get_process_group_ranks as get_process_group_ranks, get_rank as get_rank,
                    get_world_size as get_world_size, group as group, GroupMember as GroupMember,
                    HashStore as HashStore, init_process_group as init_process_group,
                    is_available as is_available, is_backend_available as is_backend_available,
                    is_gloo_available as is_gloo_available, is_initialized as is_initialized,
                    is_mpi_available as is_mpi_available, is_nccl_available as is_nccl_available,
                    is_torchelastic_launched as is_torchelastic_launched,
                    is_ucc_available as is_ucc_available,
                    is_xccl_available as is_xccl_available, new_group as new_group,
                    PrefixStore as PrefixStore, ProcessGroup as ProcessGroup, Store as Store,
                    supports_complex as supports_complex, TCPStore as TCPStore)
