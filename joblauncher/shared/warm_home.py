"""Where modules that are imported in a nursery find their home folder."""

#: In a nursery, and in all that it forks, this descriptor is a folder: the nursery's own, or the
#: temporary folder of the job. A path that begins with :data:`HOME` leads each of them into its
#: own, so that what one job writes there no other job reads.
HOME_DESCRIPTOR = 199
HOME = f"/proc/self/fd/{HOME_DESCRIPTOR}"
